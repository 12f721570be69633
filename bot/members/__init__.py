"""What members are asked, told and shown about their own words.

- forget_buttons: the question before somebody is forgotten
- holdings: what is kept about one member, in words and as a file
- homes: which server a member's command is about
- membership: whether somebody is in a server
- notice: the consent notice, and what its buttons do
- receipts: forgets somebody, and tells them what was erased
"""
