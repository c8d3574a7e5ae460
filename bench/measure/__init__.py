"""The parts of bench/wrk: processes, the proxies under test, the load, the table."""
