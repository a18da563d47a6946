"""In what two addresses differ, as their texts say it; knows neither model nor HTTP."""
