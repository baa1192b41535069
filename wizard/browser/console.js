// What stands on a page of the API console: which of the known words, and how its fields are called.
// Neither what a field holds nor any other text is looked at.
(known) => {
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const plain = (text) => (text ?? "").replace(/\s+/g, " ").replace(/[\s*:]+$/, "").trim().toLowerCase();
  const unasked = "hidden, submit, button, image, reset, radio, checkbox".split(", ");

  const words = new Set();
  const texts = document.createTreeWalker(document.body ?? document, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const word = plain(texts.currentNode.data);
    if (known.includes(word) && visible(texts.currentNode.parentElement)) words.add(word);
  }
  const fields = [...document.querySelectorAll("input, textarea")]
    .filter((field) => visible(field) && !unasked.includes(field.type))
    .map((field) => [field.type, plain(field.getAttribute("aria-label") || field.labels?.[0]?.innerText)]);
  return {
    url: location.href,
    blank: !document.body || (!document.body.innerText.trim() && !fields.length),
    words: [...words].sort(),
    fields,
  };
}
