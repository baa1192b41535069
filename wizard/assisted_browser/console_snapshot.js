// The known labels on a page of the API console, and the types and labels of its fields. Neither field
// values nor other text are returned.
(known) => {
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const normalized = (text) => (text ?? "").replace(/\s+/g, " ").replace(/[\s*:]+$/, "").trim().toLowerCase();
  const untypedTypes = "hidden, submit, button, image, reset, radio, checkbox".split(", ");

  const words = new Set();
  const texts = document.createTreeWalker(document.body ?? document, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const word = normalized(texts.currentNode.data);
    if (known.includes(word) && visible(texts.currentNode.parentElement)) words.add(word);
  }
  const fields = [...document.querySelectorAll("input, textarea")]
    .filter((field) => visible(field) && !untypedTypes.includes(field.type))
    .map((field) => [field.type, normalized(field.getAttribute("aria-label") || field.labels?.[0]?.innerText)]);
  return {
    url: location.href,
    is_blank: !document.body || (!document.body.innerText.trim() && !fields.length),
    labels: [...words].sort(),
    fields,
  };
}
