// The text of the smallest element that contains both labels, and the values of its fields, where some
// consoles show ID and secret.
([id, secret]) => {
  const normalized = (text) => text.replace(/\s+/g, " ").replace(/[\s*:]+$/, "").trim().toLowerCase();
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const elementLabeled = (element, word) => {
    const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data, parentElement } = texts.currentNode;
      if (normalized(data) === word && visible(parentElement)) return parentElement;
    }
    return null;
  };
  let part = elementLabeled(document.body, id);
  while (part && !elementLabeled(part, secret)) part = part.parentElement;
  if (!part) return "";
  const values = [...part.querySelectorAll("input, textarea")].map((field) => field.value);
  return [part.innerText, ...values].join("\n");
}
