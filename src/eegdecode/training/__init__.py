"""The training wing: runs become predictions. The only room that optimises."""
