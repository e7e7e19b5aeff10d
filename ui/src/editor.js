import { EditorState } from "@codemirror/state";
import { EditorView, keymap, lineNumbers, highlightActiveLine, highlightActiveLineGutter, drawSelection, highlightSpecialChars } from "@codemirror/view";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { json } from "@codemirror/lang-json";
import { linter, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { searchKeymap, highlightSelectionMatches } from "@codemirror/search";
import { autocompletion, completionKeymap, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { classHighlighter } from "@lezer/highlight";
import { rangeAt } from "./pointers.js";
import { completions, hover } from "./schema.js";
// All colours come from the page's style sheet (classHighlighter gives tok-* classes); only data: URLs have to be turned off here.
const basic = (nonce) => [nonce ? EditorView.cspNonce.of(nonce) : [], lineNumbers(), foldGutter(), highlightSpecialChars(), drawSelection(), syntaxHighlighting(classHighlighter), json(), bracketMatching(), indentUnit.of("  ")];
// A browser that replaces selected text by itself makes elements with a style attribute, to keep its
// colour, and the policy forbids those. So what is typed over a selection is put in here.
const typedOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main, text = event.data;
    if (event.inputType !== "insertText" || text == null || empty || view.composing) return false;
    event.preventDefault();
    const insert = () => view.state.update({ changes: { from, to, insert: text }, selection: { anchor: from + text.length }, userEvent: "input.type", scrollIntoView: true });
    if (!view.state.facet(EditorView.inputHandler).some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert());
    return true;
  },
});
export function edit(parent, { doc, schema, nonce, readOnly = false, label = "Document", onChange, onSave }) {
  const view = new EditorView({ parent, state: EditorState.create({ doc, extensions: [
    basic(nonce), history(), indentOnInput(), closeBrackets(), highlightActiveLine(), highlightActiveLineGutter(), highlightSelectionMatches(),
    autocompletion({ icons: false, override: [completions(() => schema)] }), hover(() => schema), lintGutter(),
    EditorState.readOnly.of(readOnly), EditorView.editable.of(true), EditorView.contentAttributes.of({ "aria-label": label, ...(readOnly ? { "aria-readonly": "true" } : {}) }),
    linter(null), typedOver,
    keymap.of([{ key: "Mod-Enter", run: () => (onSave && onSave(), true) }, ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...defaultKeymap]),
    EditorView.updateListener.of((u) => u.docChanged && onChange && onChange(u.state.doc.toString())),
  ] }) });
  // Long lines scroll sideways: whoever has no mouse reaches that by the keyboard.
  view.scrollDOM.tabIndex = 0;
  return view;
}
// What the server found, shown where it is. The list is the server's alone: nothing is validated here.
export function problems(view, list) {
  view.dispatch(setDiagnostics(view.state, list.map((p) => ({ ...rangeAt(view.state, p.pointer), severity: "error", message: p.message }))));
}
export { rangeAt, EditorView };
