// What a person can see on this page now. What is typed into a field is never looked at; and where
// fields ask, or somebody signs in, neither is any text, which may repeat what was typed.
() => {
  const visible = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const spoken = (text) => (text ?? "").replace(/\s+/g, " ").trim();
  const seen = (selector) => [...document.querySelectorAll(selector)].filter(visible);
  const label = (element) =>
    spoken(element.getAttribute("aria-label") || element.labels?.[0]?.innerText || element.getAttribute("placeholder"));
  const caption = (element) =>
    spoken(element.getAttribute("aria-label") || element.innerText || element.getAttribute("value"));
  const buttons = "button, [role=button], input[type=submit], input[type=button]";
  const unasked = "hidden, submit, button, image, reset, radio, checkbox".split(", ");

  const fields = seen("input, textarea").filter((field) => !unasked.includes(field.type));
  const discreet = fields.length > 0 || location.pathname.endsWith("/signin");
  let heading = "";
  const lines = [];
  for (const element of discreet ? [] : seen("h1, h2, h3, h4, [role=heading], li")) {
    if (element.localName === "li") lines.push([heading, spoken(element.innerText)]);
    else heading = spoken(element.innerText);
  }
  return {
    url: location.href,
    headings: seen("h1, h2, h3, [role=heading]").map((element) => spoken(element.innerText)),
    buttons: seen(buttons).map((element) => [caption(element), !element.disabled]),
    links: seen("a[href]").map(caption),
    fields: fields.map((field) => [field.type, spoken(`${field.id} ${field.name} ${field.autocomplete}`), label(field)]),
    choices: seen("input[type=radio]").map((radio) => [
      spoken(radio.closest("fieldset, [role=radiogroup]")?.querySelector("legend")?.innerText), label(radio),
    ]),
    frames: seen("iframe").map((frame) => spoken(`${frame.title} ${frame.src}`)),
    lines,
    text: discreet ? "" : document.body?.innerText ?? "",
  };
}
