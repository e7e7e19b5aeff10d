// Development only: `npm ci --ignore-scripts && node build.mjs`. What comes out is committed and
// shipped: the same bytes each time, in any folder. A folder as an argument gets them instead.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import * as esbuild from "esbuild";

const here = (path) => new URL(path, import.meta.url).pathname;
const out = (name) => (process.argv[2] ? `${process.argv[2]}/${name}` : here(`../distributed_config/web/static/${name}`));

const styles = {
  name: "styles-without-elements",
  setup(build) {
    build.onResolve({ filter: /^style-mod$/ }, () => ({ path: here("src/stylemod.js") }));
    build.onResolve({ filter: /^style-mod-real$/ }, () => ({ path: here("node_modules/style-mod/src/style-mod.js") }));
  },
};

const built = await esbuild.build({
  absWorkingDir: here("."),
  entryPoints: ["src/editor.js"],
  outfile: out("editor.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  metafile: true,
  plugins: [styles],
});
copyFileSync(here("node_modules/htmx.org/dist/htmx.min.js"), out("htmx.js"));

// The packages carry no banners, so their licences are collected here.
const inside = Object.keys(built.metafile.inputs).map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]);
const packages = [...new Set([...inside.filter(Boolean), "htmx.org"])].sort();
const licences = packages.map((name) => {
  const folder = here(`node_modules/${name}`);
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  return `${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, "utf8").trim()}\n`;
});
writeFileSync(out("LICENSES.txt"), licences.join(`\n${"-".repeat(72)}\n\n`));
