"""What members are asked, told and shown about their own words.

- erasing: the question before an erasure, as two buttons
- holdings: what is kept about one member, in words and as a file
- homes: which server a member's command is about
- membership: whether somebody is in a server
- notice: the consent notice, and what its buttons do
- receipts: erasing somebody, and telling them what was erased
"""
