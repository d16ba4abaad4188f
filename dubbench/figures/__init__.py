"""Pictures of the papers' kinds, one file a picture; ``dubbench figure`` lists them."""
