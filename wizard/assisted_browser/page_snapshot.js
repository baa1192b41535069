// What is visible on this page. Field values are never read. With fields on the page, or while someone
// signs in, neither is text, which may repeat what was typed.
() => {
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const normalized = (text) => (text ?? "").replace(/\s+/g, " ").trim();
  const visibleElements = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const label = (element) =>
    normalized(element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.getAttribute("placeholder"));
  const caption = (element) =>
    normalized(element.getAttribute("aria-label") || element.innerText || element.getAttribute("value"));
  const buttons = "button, [role=button], input[type=submit], input[type=button]";
  const untypedTypes = "hidden, submit, button, image, reset, radio, checkbox".split(", ");

  const fields = visibleElements("input, textarea").filter((field) => !untypedTypes.includes(field.type));
  const hidesText = fields.length > 0 || location.pathname.endsWith("/signin");
  let heading = "";
  const lines = [];
  for (const element of hidesText ? [] : visibleElements("h1, h2, h3, h4, [role=heading], li")) {
    if (element.localName === "li") lines.push([heading, normalized(element.innerText)]);
    else heading = normalized(element.innerText);
  }
  return {
    url: location.href,
    headings: visibleElements("h1, h2, h3, [role=heading]").map((element) => normalized(element.innerText)),
    buttons: visibleElements(buttons).map((element) => [caption(element), !element.disabled]),
    links: visibleElements("a[href]").map(caption),
    fields: fields.map((field) => [field.type, normalized(`${field.id} ${field.name} ${field.autocomplete}`), label(field)]),
    choices: visibleElements("input[type=radio]").map((radio) => [
      normalized(radio.closest("fieldset, [role=radiogroup]")?.querySelector("legend")?.innerText), label(radio),
    ]),
    frames: visibleElements("iframe").map((frame) => normalized(`${frame.title} ${frame.src}`)),
    list_items: lines,
    text: hidesText ? "" : document.body?.innerText ?? "",
  };
}
