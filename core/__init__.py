"""Everything that is not drawing: works without Streamlit."""
