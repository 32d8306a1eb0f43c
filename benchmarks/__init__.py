"""Side by side against public peers; each script prints its ratio and writes a table into docs/benchmarks."""
