"""The dashboard in a browser: a click on Drain takes effect, nothing is complained of, and it can be read in any light and width.

The screenshots lie in target/dashboard, or where DASHBOARD_SHOTS says.
"""

import os
import pathlib
import threading
import urllib.parse

import pytest

from harness.chromium import Chromium
from harness.client import Response, connect, get

SHOTS = pathlib.Path(os.environ.get("DASHBOARD_SHOTS") or pathlib.Path(__file__).parents[2] / "target/dashboard")
# Nobody is ejected, and nothing is tried again: so failures are seen.
FAILING = "retries = 0\nhealth = { failures = 1000 }"
TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def browser(tmp_path):
    chromium = Chromium(tmp_path)
    yield chromium
    chromium.close()


@pytest.fixture
def traffic():
    """Clients that ask again and again, until the test is over."""
    over, threads = threading.Event(), []

    def begin(address, path="/"):
        def ask():
            while not over.is_set():
                try:
                    with connect(address) as connection, connection.makefile("rb") as stream:
                        connection.sendall(get(path))
                        Response(stream)
                except OSError:
                    pass
                over.wait(0.01)

        threads.append(threading.Thread(target=ask))
        threads[-1].start()

    yield begin
    over.set()
    for thread in threads:
        thread.join()


def page_of(proxy):
    return "http://{}:{}/".format(*proxy.address)


def button(name):
    return f'[data-backend="app/{name}"] .act button'


def state_of(browser, name):
    return browser.evaluate(f"""document.querySelector('[data-backend="app/{name}"] .state span span').textContent""")


def wait_for_state(browser, name, state):
    browser.wait_for(
        f"""document.querySelector('[data-backend="app/{name}"] .state span span')?.textContent === '{state}'"""
    )


def fits(browser):
    """Nothing is wider than the window."""
    return browser.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_a_click_on_drain_takes_effect(administered, toy, traffic, browser):
    proxy = administered(toy("echo", name="a"), toy("echo", name="b"), toy("close", name="c"), pool=FAILING)
    traffic(proxy.running.address)
    traffic(proxy.running.address, "/x")
    browser.look_like()
    browser.open(page_of(proxy))
    wait_for_state(browser, "b2", "up")
    browser.click(button("b2"))
    wait_for_state(browser, "b2", "draining")
    assert proxy.backend("b2")["state"] == "drain"
    browser.wait_for("document.getElementById('change-list').textContent.includes('app/b2: state drain')")
    assert "app/b2: state drain (it was ready)" in browser.evaluate("document.getElementById('toast').textContent")
    assert browser.evaluate("document.getElementById('sum').textContent") == "2 of 3 serve, 1 does not"
    browser.wait_for("document.getElementById('cause-list').textContent.includes('backend-closed')")
    # Of the last that failed each step can be looked at.
    browser.wait_for("document.querySelector('#story-list button')?.textContent.includes('backend-closed')")
    browser.click("#story-list button")
    browser.wait_for("document.getElementById('story').open")
    assert "502 backend-closed" in browser.evaluate("document.getElementById('story-title').textContent")
    assert "app/b3;" in browser.evaluate("document.getElementById('story-facts').textContent")
    steps = browser.evaluate("document.getElementById('story-steps').textContent")
    assert "accepted" in steps and "request sent" in steps and "backend-closed" in steps, steps
    browser.screenshot(SHOTS / "story.png")
    browser.press("Escape")
    browser.wait_for("!document.getElementById('story').open")
    # What is counted arrives in the plots and the tiles.
    browser.wait_for("document.querySelector('#p-rate .line.total').getAttribute('d').length > 20")
    browser.wait_for("parseFloat(document.getElementById('t-rate').textContent) > 1")
    browser.wait_for("document.getElementById('u-p99').textContent !== ''")
    browser.wait_for("document.querySelectorAll('#p-latency .line').length === 3")
    # By keyboard it is taken back.
    browser.evaluate(f"document.querySelector({button('b2')!r}).focus()")
    browser.press("Enter")
    wait_for_state(browser, "b2", "up")
    assert proxy.get("/status")["changes"] == []
    browser.evaluate("document.activeElement.blur()")
    browser.screenshot(SHOTS / "light.png", whole=True)
    browser.look_like(scheme="dark")
    browser.screenshot(SHOTS / "dark.png", whole=True)
    browser.look_like(width=390, height=844, is_phone=True)
    assert fits(browser)
    browser.screenshot(SHOTS / "phone.png", whole=True)
    assert browser.complaints == []


def test_the_last_one_is_drained_only_if_that_is_meant(administered, toy, browser):
    proxy = administered(toy("echo"))
    browser.look_like()
    browser.open(page_of(proxy))
    browser.click(button("b1"))
    browser.wait_for("document.getElementById('sure').open")
    browser.click("#sure button[value=no]")
    browser.wait_for("!document.getElementById('sure').open")
    assert proxy.backend("b1")["state"] == "ready"
    browser.click(button("b1"))
    browser.click("#sure button[value=yes]")
    wait_for_state(browser, "b1", "draining")
    # And by the list of changes it comes back.
    browser.click(".undo")
    wait_for_state(browser, "b1", "up")
    assert browser.complaints == []


def test_why_a_backend_is_down_is_shown_on_hover_and_by_keyboard(administered, toy, free_address, browser, traffic):
    class Nobody:
        host_port = free_address()

    proxy = administered(toy("echo"), Nobody)
    traffic(proxy.running.address)
    browser.look_like()
    browser.open(page_of(proxy))
    wait_for_state(browser, "b2", "ejected")
    browser.hover('[data-backend="app/b2"] .seen')
    browser.wait_for("!document.getElementById('pop').hidden && document.querySelector('#pop .ill')")
    assert "backend-refused" in browser.evaluate("document.getElementById('pop').textContent")
    browser.screenshot(SHOTS / "hover.png")
    browser.press("Escape")
    browser.wait_for("document.getElementById('pop').hidden")
    browser.evaluate("""document.querySelector('[data-backend="app/b1"] .seen').focus()""")
    browser.press("Enter")
    browser.wait_for("!document.getElementById('pop').hidden && document.getElementById('pop').textContent.includes('app/b1')")
    assert browser.complaints == []


def test_a_hundred_backends_can_be_read_filtered_and_sorted(administered, toy, browser, traffic):
    # All of 127.0.0.0/8 is the loopback.
    listening = toy("echo", name="z", listen="0.0.0.0:0")
    port = listening.host_port.rpartition(":")[2]

    class Of:
        def __init__(self, number):
            self.host_port = f"127.1.0.{number}:{port}"

    proxy = administered(*[Of(number) for number in range(1, 101)])
    traffic(proxy.running.address)
    browser.look_like()
    browser.open(page_of(proxy))
    browser.wait_for("document.querySelectorAll('tbody tr').length === 100")
    assert fits(browser)
    for name in ["b7", "b42"]:
        proxy.post(f"/backends/app/{name}", {"state": "down"})
    browser.wait_for("document.getElementById('sum').textContent === '98 of 100 serve, 2 do not'")
    browser.screenshot(SHOTS / "hundred.png")
    browser.press("/")
    browser.type("taken out")
    browser.wait_for("[...document.querySelectorAll('tbody tr')].filter(row => !row.hidden).length === 2")
    browser.evaluate("document.getElementById('find').value = ''; document.getElementById('find').dispatchEvent(new Event('input'))")
    browser.click("th.state button")
    browser.wait_for("document.querySelector('tbody tr').dataset.backend === 'app/b7'")
    assert browser.evaluate("document.querySelector('th.state').getAttribute('aria-sort')") == "ascending"
    browser.look_like(width=390, height=844, is_phone=True, scheme="dark")
    assert fits(browser)
    browser.screenshot(SHOTS / "hundred-phone.png")
    assert browser.complaints == []


def test_the_token_is_asked_for_and_kept_in_the_tab(administered, toy, browser):
    proxy = administered(toy("echo"), admin='token_env = "THE_TOKEN"', env={"THE_TOKEN": TOKEN})
    browser.look_like()
    browser.open(page_of(proxy))
    for text in ["wrong-wrong-wrong-wrong", TOKEN]:
        browser.wait_for("document.getElementById('login').open")
        browser.wait_for("document.activeElement.id === 'token'")
        browser.type(text)
        browser.press("Enter")
        browser.wait_for("!document.getElementById('login').open || document.getElementById('login-text').textContent.includes('not the token')")
    wait_for_state(browser, "b1", "up")
    assert browser.evaluate("document.cookie") == "" and browser.evaluate("localStorage.length") == 0
    browser.open(page_of(proxy))
    wait_for_state(browser, "b1", "up")
    # The browser's log tells of every 401, which is what was expected here.
    assert all("401" in complaint for complaint in browser.complaints), browser.complaints


def test_another_site_can_change_nothing(administered, toy, browser, tmp_path):
    """A page of another origin, with all that a page may send."""
    backend = toy("echo")
    proxy = administered(backend)
    browser.look_like()
    # The toy is another origin; what it answers is a document in which anything can be run.
    browser.open(f"http://{backend.host_port}/")
    target = urllib.parse.urljoin(page_of(proxy), "/backends/app/b1")
    for options in [
        "{ method: 'POST', mode: 'no-cors', body: '{\"state\":\"down\"}' }",
        "{ method: 'POST', body: '{\"state\":\"down\"}', headers: { 'Content-Type': 'application/json' } }",
        "{ method: 'POST', mode: 'no-cors', body: new Blob(['{\"state\":\"down\"}'], { type: 'text/plain' }) }",
    ]:
        browser.evaluate(f"fetch('{target}', {options}).then(() => 'sent', () => 'refused')")
    read = browser.evaluate(f"fetch('{urllib.parse.urljoin(target, '/status')}').then(r => r.text(), () => 'refused')")
    assert read == "refused"
    assert proxy.get("/status")["changes"] == [] and proxy.backend("b1")["state"] == "ready"


def test_it_says_when_nobody_answers_any_more(administered, toy, browser):
    proxy = administered(toy("echo"))
    browser.look_like()
    browser.open(page_of(proxy))
    wait_for_state(browser, "b1", "up")
    proxy.running.end_well()
    browser.wait_for("!document.getElementById('banner').hidden")
    assert browser.evaluate("document.getElementById('pulse').dataset.state") == "lost"


def test_how_long_certificates_are_valid(administered, toy, authority, browser):
    issued = [authority.issue("www", ["www.test"], days=25), authority.issue("old", ["old.test"], days=5)]
    listed = ", ".join(f'{{ cert = "{cert}", key = "{key}" }}' for cert, key in issued)
    more = f'[[listener]]\nname = "tls"\nbind = "127.0.0.1:0"\ntls = {{ certificates = [{listed}] }}\npool = "app"\n'
    proxy = administered(toy("echo"), admin=more)
    browser.look_like()
    browser.open(page_of(proxy))
    # The first to end is the first of the list, and its state is a word too, not a colour alone.
    browser.wait_for("document.querySelectorAll('.certificates li').length === 2")
    first, second = browser.evaluate("[...document.querySelectorAll('.certificates li')].map(li => li.textContent)")
    assert "old.test tls" in first and "expires soon" in first and "days left" in first
    assert "www.test tls" in second and "valid" in second
    tones = browser.evaluate("[...document.querySelectorAll('.certificates .state span[class]')].map(it => it.className)")
    assert tones == ["warm", "good"]
    browser.screenshot(SHOTS / "certificates.png", whole=True)
    browser.look_like(width=390, height=844, is_phone=True, scheme="dark")
    assert fits(browser)
    assert browser.complaints == []


def test_without_tls_there_is_no_word_of_certificates(administered, toy, browser):
    proxy = administered(toy("echo"))
    browser.look_like()
    browser.open(page_of(proxy))
    wait_for_state(browser, "b1", "up")
    assert browser.evaluate("document.getElementById('certificates').hidden")
