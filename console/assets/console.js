// What the console's pages gain from a script; all of them work without it.
(() => {
  "use strict";
  const clock = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "medium" });

  // Times stand in the page in UTC; here they become the reader's own.
  function localTimes(within) {
    for (const e of within.querySelectorAll("time[datetime]")) {
      const at = new Date(e.dateTime);
      if (!Number.isNaN(at.getTime())) {
        e.title = e.dateTime;
        e.textContent = clock.format(at);
      }
    }
  }
  localTimes(document);
  document.addEventListener("htmx:afterSwap", () => localTimes(document));

  // What is being pressed is not replaced under the finger.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target.querySelector(":active")) event.detail.shouldSwap = false;
  });

  // A form's times are by the reader's clock: the server must know which.
  for (const e of document.querySelectorAll("[data-zone]")) e.value = Intl.DateTimeFormat().resolvedOptions().timeZone;

  // A button that cannot be taken back asks first.
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  // A choice that only narrows what is shown takes effect at once.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
})();
