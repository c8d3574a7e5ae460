//! The candidates of a pick: whose weight counts, and for how much.

use super::{AdminState, BackendView, Exclusion, FULL_SHARE, NoBackend, PickRequest, PoolView};
use crate::snapshot::Pool;

/// The view of a policy: the pool, with each backend that is no candidate at weight 0.
pub(super) struct Field<'a, V> {
    pub(super) pool: &'a Pool,
    pub(super) view: &'a V,
    pub(super) asked: &'a PickRequest<'a>,
    /// The tier that is in use.
    tier: u8,
}

/// Why the backend cannot be used even by a client that is bound to it.
pub(super) fn unfit(seen: &BackendView, place: usize, asked: &PickRequest<'_>) -> Option<Exclusion> {
    if asked.tried.contains(&place) {
        return Some(Exclusion::Tried);
    }
    match seen.admin_state {
        AdminState::Down => Some(Exclusion::OperatorDown),
        AdminState::Ready | AdminState::Drain => seen.exclusion,
    }
}

/// Why the backend is no candidate, whatever its tier.
pub(super) fn why_not(seen: &BackendView, place: usize, asked: &PickRequest<'_>) -> Option<Exclusion> {
    let why_not_new = match seen.admin_state {
        AdminState::Drain => Some(Exclusion::OperatorDrain),
        AdminState::Ready | AdminState::Down => (seen.weight == 0).then_some(Exclusion::WeightZero),
    };
    unfit(seen, place, asked).or(why_not_new)
}

impl<'a, V: PoolView> Field<'a, V> {
    /// Finds the tier that is in use.
    pub(super) fn open(
        pool: &'a Pool,
        view: &'a V,
        asked: &'a PickRequest<'a>,
    ) -> Result<Field<'a, V>, NoBackend> {
        let (mut lowest, mut is_tried) = (None, false);
        for place in 0..pool.backends.len() {
            let seen = view.backend(place);
            match why_not(&seen, place, asked) {
                // A full one keeps its tier in use: backups are for those who are gone, not for those who are
                // busy.
                None | Some(Exclusion::Full) if seen.is_for_all() => {
                    if seen.tier <= 1 {
                        return Ok(Field { pool, view, asked, tier: seen.tier });
                    }
                    if lowest.is_none_or(|lowest| seen.tier < lowest) {
                        lowest = Some(seen.tier);
                    }
                }
                Some(Exclusion::Tried) => {
                    is_tried |= seen.is_for_all() && matches!(seen.exclusion, None | Some(Exclusion::Full));
                }
                None
                | Some(
                    Exclusion::Full
                    | Exclusion::OperatorDown
                    | Exclusion::OperatorDrain
                    | Exclusion::Down
                    | Exclusion::Ejected
                    | Exclusion::WeightZero
                    | Exclusion::HigherTier,
                ) => {}
            }
        }
        match lowest {
            Some(tier) => Ok(Field { pool, view, asked, tier }),
            None if is_tried => Err(NoBackend::Tried),
            None => Err(NoBackend::Down),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pool.backends.len()
    }

    /// Why the backend at `place` is no candidate.
    pub(super) fn why_not(&self, place: usize) -> Option<Exclusion> {
        self.judge(&self.view.backend(place), place)
    }

    fn judge(&self, seen: &BackendView, place: usize) -> Option<Exclusion> {
        why_not(seen, place, self.asked).or((seen.tier > self.tier).then_some(Exclusion::HigherTier))
    }

    /// The weight that counts, in thousandths: 0 for who is no candidate, at least 1 for who is.
    pub(super) fn weight(&self, place: usize) -> u64 {
        let seen = self.view.backend(place);
        match self.judge(&seen, place) {
            None => (u64::from(seen.weight) * u64::from(seen.share)).max(1),
            Some(_) => 0,
        }
    }

    /// The weight that would count if nothing were in the way, in thousandths.
    pub(super) fn weight_nominal(&self, place: usize) -> u64 {
        u64::from(self.pool.backends[place].weight) * u64::from(FULL_SHARE)
    }
}
