// Search, copying of code, and the choice of colours. Without it every page can still be read.
(() => {
  const root = document.documentElement;

  // Colours.
  document.querySelector("[data-theme-toggle]")?.addEventListener("click", () => {
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    document.dispatchEvent(new Event("themechange"));
  });

  // The sidebar is open where there is room for it.
  const side = document.querySelector("details.side");
  const wide = matchMedia("(min-width: 60rem)");
  const unfold = () => { if (side) side.open = wide.matches; };
  wide.addEventListener("change", unfold);
  unfold();
  side?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });

  // Copying.
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const code = button.closest(".code").querySelector("code").textContent;
      await navigator.clipboard.writeText(code);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // Where the reader is, in the contents on the right.
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
  if (links.size) {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    }, { rootMargin: "-80px 0px -70% 0px" });
    for (const id of links.keys()) {
      const heading = document.getElementById(id);
      if (heading) seen.observe(heading);
    }
  }

  // Search.
  const dialog = document.getElementById("search");
  const input = document.getElementById("search-words");
  const list = document.getElementById("search-results");
  const state = document.getElementById("search-state");
  let rows = null;
  let chosen = 0;

  const open = async () => {
    if (!dialog.open) dialog.showModal();
    input.select();
    if (!rows) {
      const answer = await fetch("/docs/search.json");
      rows = (await answer.json()).map((row) => ({
        ...row, lowTitle: row.title.toLowerCase(), lowPage: row.page.toLowerCase(), lowText: row.text.toLowerCase(),
      }));
      show();
    }
  };

  // A word counts most where a title begins with it, least somewhere in the text. Every word must be found.
  const score = (row, words) => {
    let sum = row.kind === "guide" ? 0 : 1;
    for (const word of words) {
      const at = row.lowTitle.indexOf(word);
      if (row.lowTitle === word) sum += 200;
      else if (at === 0) sum += 60;
      else if (at > 0) sum += 30;
      else if (row.lowPage.includes(word)) sum += 12;
      else if (row.lowText.includes(word)) sum += 5;
      else return 0;
    }
    return sum;
  };

  const marked = (text, words) => {
    const part = document.createDocumentFragment();
    const pattern = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|");
    for (const [index, piece] of text.split(new RegExp(`(${pattern})`, "i")).entries()) {
      if (index % 2 === 0) part.append(piece);
      else part.append(Object.assign(document.createElement("mark"), { textContent: piece }));
    }
    return part;
  };

  const excerpt = (row, words) => {
    const at = Math.max(0, Math.min(...words.map((word) => row.lowText.indexOf(word)).filter((place) => place >= 0), 1e9));
    const from = at > 1e8 ? 0 : Math.max(0, at - 40);
    return (from ? "… " : "") + row.text.slice(from, from + 140) + (row.text.length > from + 140 ? " …" : "");
  };

  const choose = (index) => {
    const items = [...list.children];
    if (!items.length) return;
    chosen = (index + items.length) % items.length;
    for (const [place, item] of items.entries()) item.setAttribute("aria-selected", String(place === chosen));
    input.setAttribute("aria-activedescendant", items[chosen].id);
    items[chosen].scrollIntoView({ block: "nearest" });
  };

  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    list.replaceChildren();
    input.removeAttribute("aria-activedescendant");
    if (!rows || !words.length) { state.textContent = ""; return; }
    const found = rows.map((row) => [score(row, words), row]).filter(([points]) => points > 0)
      .sort((one, other) => other[0] - one[0]).slice(0, 12);
    for (const [index, [, row]] of found.entries()) {
      const item = document.createElement("li");
      item.id = `result-${index}`;
      item.setAttribute("role", "option");
      const link = document.createElement("a");
      link.href = row.where;
      link.tabIndex = -1;
      const kind = document.createElement("span");
      kind.className = `kind kind-${row.kind.toLowerCase()}`;
      kind.textContent = row.kind;
      const title = document.createElement("b");
      title.append(marked(row.title, words));
      const page = document.createElement("small");
      page.append(marked(row.page, words));
      const text = document.createElement("span");
      text.className = "text";
      text.append(marked(excerpt(row, words), words));
      link.append(kind, title, page, text);
      link.addEventListener("click", () => dialog.close());
      item.append(link);
      list.append(item);
    }
    state.textContent = found.length ? "" : "Nothing is found. Try fewer words.";
    choose(0);
  };

  document.querySelector("[data-search]")?.addEventListener("click", open);
  input?.addEventListener("input", show);
  dialog?.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.addEventListener("keydown", (event) => {
    const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || event.target.isContentEditable;
    if ((event.key === "/" && !typing) || (event.key.toLowerCase() === "k" && (event.metaKey || event.ctrlKey))) {
      event.preventDefault();
      open();
    }
  });
  input?.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") { event.preventDefault(); choose(chosen + 1); }
    if (event.key === "ArrowUp") { event.preventDefault(); choose(chosen - 1); }
    if (event.key === "Enter") { event.preventDefault(); list.children[chosen]?.querySelector("a").click(); }
  });
})();
