import { hoverTooltip } from "@codemirror/view";
import { pathAt } from "./pointers.js";
function at(root, schema, seen = 0) {
  while (schema && schema.$ref && seen++ < 20) {
    let s = root; for (const p of schema.$ref.replace(/^#\/?/, "").split("/").filter(Boolean)) s = s && s[p.replace(/~1/g, "/").replace(/~0/g, "~")];
    schema = s;
  }
  return schema || {};
}
export function schemaFor(root, parts) {
  let found = [at(root, root)];
  for (const part of parts) {
    const next = [];
    for (const s of found) for (const one of [s, ...(s.allOf || []), ...(s.anyOf || []), ...(s.oneOf || []), s.then, s.else].filter(Boolean).map((x) => at(root, x))) {
      const sub = typeof part === "number" ? (one.prefixItems && one.prefixItems[part]) || one.items
        : (one.properties && one.properties[part]) || (typeof one.additionalProperties === "object" ? one.additionalProperties : null);
      if (sub && typeof sub === "object") next.push(at(root, sub));
    }
    found = next;
  }
  return found;
}
const typeWords = (s) => (s.enum ? s.enum.map((v) => JSON.stringify(v)).join(" | ") : Array.isArray(s.type) ? s.type.join(" | ") : s.type || "any");
// Brackets close by themselves, so a quote may stand right after the cursor: it goes with what is replaced.
const put = (text) => (view, _, from, to) => {
  const end = view.state.sliceDoc(to, to + 1) === '"' && text.startsWith('"') && view.state.sliceDoc(from, from + 1) === '"' ? to + 1 : to;
  view.dispatch({ changes: { from, to: end, insert: text }, selection: { anchor: from + text.length }, userEvent: "input.complete" });
};
export function completions(getSchema) {
  return (context) => {
    const root = getSchema(); if (!root) return null;
    const { parts, key, node } = pathAt(context.state, context.pos);
    const word = context.matchBefore(/"?[\w.$-]*$/);
    if (!context.explicit && (!word || word.from === word.to)) return null;
    const inObject = node.name === "Object" || node.name === "PropertyName" || (node.name === "⚠" && node.parent && node.parent.name === "Object");
    if (inObject) {
      const options = [];
      for (const s of schemaFor(root, parts)) for (const [name, sub] of Object.entries(s.properties || {})) {
        const d = at(root, sub);
        options.push({ label: JSON.stringify(name), type: "property", detail: typeWords(d), info: d.description, boost: (s.required || []).includes(name) ? 1 : 0,
          apply: put(node.name === "PropertyName" ? JSON.stringify(name) : JSON.stringify(name) + ": " + (d.default !== undefined ? JSON.stringify(d.default) : "")) });
      }
      return options.length ? { from: node.name === "PropertyName" ? node.from : word ? word.from : context.pos, options } : null;
    }
    const options = [];
    for (const s of schemaFor(root, parts)) {
      for (const v of s.enum || (s.const !== undefined ? [s.const] : [])) options.push({ label: JSON.stringify(v), type: "enum", apply: put(JSON.stringify(v)) });
      if (s.default !== undefined) options.push({ label: JSON.stringify(s.default), type: "constant", detail: "default", apply: put(JSON.stringify(s.default)) });
      if ([].concat(s.type || []).includes("boolean")) options.push({ label: "true", type: "keyword" }, { label: "false", type: "keyword" });
    }
    return options.length ? { from: ["String", "Number", "True", "False", "Null"].includes(node.name) ? node.from : word ? word.from : context.pos, options } : null;
  };
}
export const hover = (getSchema) => hoverTooltip((view, pos, side) => {
  const root = getSchema(); if (!root) return null;
  const { parts, key, node } = pathAt(view.state, pos, side);
  const s = schemaFor(root, key == null ? parts : [...parts, key])[0];
  if (!s || !Object.keys(s).length) return null;
  return { pos: node.from, end: node.to, above: true, create() {
    const dom = document.createElement("div"); dom.className = "dc-hover";
    const t = document.createElement("b"); t.textContent = s.title || typeWords(s); dom.append(t);
    for (const line of [s.description, s.default !== undefined && "Default: " + JSON.stringify(s.default), s.minimum !== undefined && "At least " + s.minimum, s.maximum !== undefined && "At most " + s.maximum]) if (line) { const p = document.createElement("p"); p.textContent = line; dom.append(p); }
    return { dom };
  } };
});
