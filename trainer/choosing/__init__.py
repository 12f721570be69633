"""Which of the permitted messages are worth learning, how much of whom, and whom to wait for.

- near_duplicates: whether a text says nearly what an earlier one said
- language: whether a text is language at all, or mash, code, a log, a wall
- quality: messages that are no target tonight, by reason
- fairness: nobody's voice drowns the rest, and nobody's is lost
- server_past: what a server said before, and who is new there
- suspicion: who is new or changed, and harmful or unlike everybody
- liked_answers: answers that people marked 👍, as pairs to learn
- choice: all of it, in order, for one night
"""
