"""Whether a candidate may serve; plain values and pure functions, without a model.

- verdict: better than what serves, and nothing lost on the way
- bootstrap: how sure a difference is, and how many conversations would tell
- guards: what a better candidate must not have lost
- watching: whether what serves still deserves to, on the days after
- verdict_limits: what a candidate has to reach
- leakage: what it recites of what it learned
- learned_text: what it learned, read back for that
- reply_faults: what is wrong with a reply, by rules
- comparison: what was measured, and the decision on it
"""
