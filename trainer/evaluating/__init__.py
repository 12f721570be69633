"""Measuring candidate, champion and bare base.

- evaluation: three models on the same held-out replies
- measuring: what is measured of one model
- switched_model: one loaded base whose adapters are switched
- reply_sampling: replies that a model writes, and what can be counted in them
- prompt_sets: provoking lines of the project's own
- toxicity: whether a text insults or swears
- taught_answers: whether what was taught is known
- scaling: a version at a part of its strength
"""
