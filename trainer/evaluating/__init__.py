"""Measuring candidate, champion and bare base.

- evaluation: three models on the same held-out replies
- reply_sampling: replies that a model writes, and what can be counted in them
"""
