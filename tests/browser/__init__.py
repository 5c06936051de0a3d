"""The dashboard in a real browser: needs Playwright and a Chromium of the system."""
