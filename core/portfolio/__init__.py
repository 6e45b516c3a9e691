"""How the trading went: sums of closed round trips, the figures made of them, and what is held now."""
