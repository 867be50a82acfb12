"""The notifier between the rooms, and the news of running jobs. Nothing here is of record: all of it may be lost."""
