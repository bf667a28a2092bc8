/**
 * The one place where HTML becomes elements. The server has rendered it out of untrusted Markdown by an allow-list; the
 * same list is held again here, so that a mistake there or a proxy between shows as text and does nothing.
 */

const TAGS = new Set(
  "P BR EM STRONG DEL CODE PRE BLOCKQUOTE UL OL LI H3 H4 H5 H6 TABLE THEAD TBODY TR TH TD HR SPAN WBR".split(" "),
);
const CLASSES = new Set(["unseen", "address", "picture", "info", "maths", "plain", "piece", "shown-plain"]);
const policy = globalThis.trustedTypes?.createPolicy("backstay", { createHTML: (html) => html });

/** @param {Element} element */
function isAllowed(element) {
  if (!TAGS.has(element.tagName)) return false;
  return [...element.attributes].every(({ name, value }) => {
    if (name === "dir") return value === "auto";
    if (name === "class") return CLASSES.has(value);
    return name === "start" && element.tagName === "OL" && /^\d{1,9}$/.test(value);
  });
}

/**
 * The elements of a rendered text, or the text itself under a note where the HTML holds what it must not.
 * @param {string} html
 * @param {string} text
 * @returns {DocumentFragment}
 */
export function shown(html, text) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  if ([...template.content.querySelectorAll("*")].every(isAllowed)) return template.content;
  const fragment = document.createDocumentFragment();
  const note = document.createElement("p");
  note.className = "shown-plain";
  note.textContent = "Shown as plain text: its rendering held what this page does not allow.";
  const plain = document.createElement("pre");
  plain.className = "plain";
  plain.textContent = text;
  fragment.append(note, plain);
  return fragment;
}
