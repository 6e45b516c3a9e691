"""Overview: a placeholder until the page is written."""

import streamlit as st

st.title("Overview")
st.write("Whether everything is fine, and what to do next.")
