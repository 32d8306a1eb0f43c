"""Energy models: Boltzmann machines and deep energies, fitted by chains, scored with a partition function's error."""
