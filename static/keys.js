// The keys of every page: / goes to the search or the filter, ? shows all keys. R and the arrows are Streamlit's own.
(() => {
  if (document.documentElement.dataset.keys) return;
  document.documentElement.dataset.keys = "on";

  const KEYS = [
    ["/", "Search, or filter"],
    ["← →", "Previous and next page of rows"],
    ["R", "Refresh"],
    ["Esc", "Close what is open"],
    ["?", "These keys"],
  ];
  const PLACES = ["input[type=search]", ".st-key-portfolio_filters input", "[class*=st-key-][class*=filter] button"];
  const TYPED = "input, textarea, select, [contenteditable=true], [role=textbox], [role=combobox]";

  function place() {
    const main = document.querySelector("[data-testid=stMain]");
    for (const selector of PLACES) {
      for (const found of main?.querySelectorAll(selector) ?? []) {
        if (!found.disabled && found.checkVisibility()) return found;
      }
    }
    return null;
  }

  function help() {
    const dialog = document.createElement("dialog");
    dialog.id = "tradekeep-keys";
    dialog.setAttribute("aria-label", "Keys");
    const heading = dialog.appendChild(document.createElement("h3"));
    heading.textContent = "Keys";
    const list = dialog.appendChild(document.createElement("dl"));
    for (const [key, does] of KEYS) {
      list.appendChild(document.createElement("dt")).appendChild(document.createElement("kbd")).textContent = key;
      list.appendChild(document.createElement("dd")).textContent = does;
    }
    dialog.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    // Within the app, for its fonts and colours.
    document.querySelector("[data-testid=stApp]").appendChild(dialog);
    dialog.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPED)) return;
    const open = document.getElementById("tradekeep-keys");
    if (event.key === "?") {
      event.preventDefault();
      if (open) open.close();
      else if (!document.querySelector("[role=dialog]")) help();
    } else if (event.key === "/" && !open) {
      const found = place();
      if (!found) return;
      event.preventDefault();
      found.focus();
      found.select?.();
    }
  });
})();
