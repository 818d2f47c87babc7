"""`eightbells notify`: tells people, wherever they are, what somebody has to do something about."""
