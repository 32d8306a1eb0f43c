"""From a file to numbers: readers, schema, supports, measures, tables, encoders, batches."""
