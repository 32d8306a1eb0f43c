"""From an answer to a labelled, digested file and back; summaries, plots, provenance."""
