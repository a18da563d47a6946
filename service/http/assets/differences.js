/* What differs between two addresses, as a person would see it. No model is asked. */

/* Numbers and Latin words are one piece each, so that 188 and 88 share nothing; all else is single
   characters. Full-width forms and capitals count as their plain twins. */
function pieces(text) {
  return Array.from(text.matchAll(/\p{Nd}+|[A-Za-zＡ-Ｚａ-ｚ]+|\P{M}\p{M}*|./gsu), ([own]) => ({
    own, plain: own.normalize("NFKC").toLowerCase(), found: "only",
  }));
}

/* Both texts in parts: {text, found}, where `found` is "both" for what stands in both at its place,
   "moved" for what stands in both at another place, and "only" for what stands in one. */
export function differences(first, second) {
  const a = pieces(first), b = pieces(second);
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i][j] = a[i].plain === b[j].plain
        ? longest[i + 1][j + 1] + 1
        : Math.max(longest[i + 1][j], longest[i][j + 1]);
    }
  }
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i].plain === b[j].plain) a[i++].found = b[j++].found = "both";
    // Of equally long ways the one that keeps both texts abreast: numbers swap, the words between stay.
    else if (longest[i + 1][j] - longest[i][j + 1] + (i <= j) > 0) i++;
    else j++;
  }
  for (const piece of a.filter(one => one.found === "only")) {
    const twin = b.find(one => one.found === "only" && one.plain === piece.plain);
    if (twin) piece.found = twin.found = "moved";
  }
  return [joined(a), joined(b)];
}

function joined(all) {
  const parts = [];
  for (const { own, found } of all) {
    const last = parts[parts.length - 1];
    if (last && last.found === found) last.text += own;
    else parts.push({ text: own, found });
  }
  return parts;
}
