"""The cloud side: takes uploads, proves them safe, shows them."""
