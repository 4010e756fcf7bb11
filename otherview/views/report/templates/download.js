for (const button of document.querySelectorAll("button[data-csv]")) {
  button.hidden = !("DecompressionStream" in window);
  button.addEventListener("click", async () => {
    const packed = document.querySelector(`#csv-${button.dataset.csv}`).content.textContent;
    const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], { type: "text/csv" }));
    link.download = `${button.dataset.csv}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
