(() => {
  const terms = document.querySelectorAll("a.term");
  if (!terms.length || !HTMLElement.prototype.showPopover) return;
  const box = document.createElement("div");
  box.id = "word";
  box.popover = "auto";
  box.setAttribute("role", "status");
  document.body.append(box);
  for (const term of terms)
    term.addEventListener("click", (event) => {
      const word = document.querySelector(term.hash);
      event.preventDefault();
      const name = document.createElement("b");
      name.textContent = `${word.textContent}. `;
      box.replaceChildren(name, word.nextElementSibling.textContent);
      box.showPopover();
      const at = term.getBoundingClientRect();
      const left = Math.min(at.left, document.documentElement.clientWidth - box.offsetWidth - 8);
      box.style.left = `${Math.max(8, left) + window.scrollX}px`;
      box.style.top = `${at.bottom + 6 + window.scrollY}px`;
    });
})();
