"""One reader per data set (and a writer where the made world needs one); every fault names its file
and line."""
