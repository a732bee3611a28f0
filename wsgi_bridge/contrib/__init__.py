"""What knows a web framework: a module each, which imports it. Nothing else imports these."""
