"""Pictures of a run; nothing else imports matplotlib."""
