"""Text that comes from others: checked and made safe, in steps that keep the event loop turning."""
