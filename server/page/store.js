/* The gallery of this browser: the newest pictures with their settings, in IndexedDB. Where a browser
 * forbids that, there is none, and all else works. */

const KEPT_MAX = 120;

const store = {
  base: null,

  open: () => new Promise(resolve => {
    try {
      const request = indexedDB.open("softdiff", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("pictures", { keyPath: "url" }).createIndex("time", "time");
      request.onsuccess = () => resolve(store.base = request.result);
      request.onerror = () => resolve(null);
    } catch {
      resolve(null);
    }
  }),

  /* One transaction; what its request gives, undefined where nothing can be had. */
  run: (mode, work) => new Promise(resolve => {
    if (!store.base) return resolve(undefined);
    const transaction = store.base.transaction("pictures", mode), request = work(transaction.objectStore("pictures"));
    transaction.oncomplete = () => resolve(request && request.result);
    transaction.onerror = transaction.onabort = () => resolve(undefined);
  }),

  /* The newest first. */
  all: async () => ((await store.run("readonly", pictures => pictures.index("time").getAll())) || []).reverse(),

  add: async pictures => {
    await store.run("readwrite", kept => { for (const picture of pictures) kept.put(picture); });
    const old = (await store.all()).slice(KEPT_MAX);
    if (old.length > 0)
      await store.run("readwrite", kept => { for (const picture of old) kept.delete(picture.url); });
  },

  clear: () => store.run("readwrite", kept => kept.clear()),
};
