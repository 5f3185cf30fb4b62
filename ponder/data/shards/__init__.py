"""Text as ids in memory-mapped files, and the order in which a model reads them.

write(documents, tokenizer, folder)                 # once
shards = Shards.open(folder, tokenizer)             # refused where another tokenizer made them
reading = Reading.of(shards.pieces(256), shards.groups, Mix(), steps=100, batch=4096, seed=0)
shards.ids(reading.step(7)[0])                      # the first piece of step 7
"""
