"""The parts of bench/compare and bench/wrk: processes, contenders, workloads, the turns, figures, tables, plots."""
