// The page put together, and kept in step.

function changed() {
  select();
  const [some, all] = [chosen, count].map((n) => n.toLocaleString("en"));
  byId("status").textContent = `${some} of ${all} designs selected`;
  const filter = joint && filters.get(joint);
  byId("joint").checked = Boolean(filter) && filter[0] > joint.labels.indexOf("no");
  showBudgets();
  later(ALL);
}

function repin(act) {
  act();
  showPins();
  later(MARKS);
}

// All pairs of at most four objectives; what is to be small lies along x, as is usual.
const pairs = objectives.slice(0, 4).flatMap((a, n, four) => (
  four.slice(n + 1).map((b) => (a.maximise || !b.maximise ? [b, a] : [a, b]))));
const panels = pairs.map((pair) => new Panel(...pair));
const parallel = new Parallel(byId("parallel"));

byId("clear").addEventListener("click", () => {
  filters.clear();
  for (const show of budgets.values()) show();
  changed();
});
byId("download").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "selection.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
byId("joint").addEventListener("change", () => {
  const yes = joint.labels.indexOf("yes");
  if (byId("joint").checked) limitLabels(joint, yes, yes);
  else limit(joint, -Infinity, Infinity);
  changed();
});
byId("jointly").hidden = !joint;
window.addEventListener("resize", () => later(ALL));
byId("title").textContent = document.title = given.title;
for (const [code, name] of (variants ? variants.texts || [] : []).entries()) {
  const item = element(byId("legend"), "span");
  element(item, "i").style.background = `rgb(${palette[code].join(",")})`;
  item.append(name);
}
if (joint) element(byId("legend"), "span", "Full colour: on the joint front; pale: not on it");
fillBudgets();
changed();
