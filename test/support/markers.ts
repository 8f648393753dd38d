/** Whether this is the key of the marker by which the ledger recognises a place. */
export const isMarkerKey = (key: string): boolean => /landfall-storage-[0-9a-f]{24}$/.test(key)
