"""What Streamlit runs at each interaction: the dashboard's navigation.

It lies here since Streamlit takes a folder `pages` beside its script for pages of its own: until navigation has been
drawn once, it then answers every address but the first page's with "Page not found".
"""

from __future__ import annotations

from frontend.app import main

main()
