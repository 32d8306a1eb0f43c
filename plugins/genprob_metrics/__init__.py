"""The figures of merit that come with genprob."""
