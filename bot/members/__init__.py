"""What members are asked, told and shown about their own words."""
