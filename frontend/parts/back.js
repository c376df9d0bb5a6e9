// The Back button leaves a page at one press. What a page writes into its own address (a filter, a mode, a price) takes
// the place of the address before; Streamlit would make each a step of its own, of which some lead to the same page again.
(() => {
  if (window.spikefrontBack) return;
  window.spikefrontBack = true;
  const SUBJECTS = ["run", "sweep", "row", "from"]; // another of these is another page

  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) => {
    const here = new URL(location.href);
    const there = new URL(url ?? here, here);
    const same = here.pathname === there.pathname &&
      SUBJECTS.every((name) => here.searchParams.get(name) === there.searchParams.get(name));
    if (same) history.replaceState(state, title, url);
    else push(state, title, url);
  };
})();
