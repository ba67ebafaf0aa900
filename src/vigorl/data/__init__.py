"""L1: from files on disk to token ids and pixel tensors: readers, pictures, prompts, encoding,
batches, the made world."""
