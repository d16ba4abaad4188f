"""The user study: who rates what in which order, the page, its answers, and scores over them."""
