import { type Kysely, type QueryExecutorProvider, sql } from 'kysely'
import type { IndexChange } from './migration.ts'

/** What an application says of a media item, which it can change: it begins as what was said of the upload. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    `alter table landfall.media
      -- Null of media items whose uploads had none when this migration came to them.
      add column metadata jsonb,
      add column title text,
      add column description text,
      add column told_captions text[]`,

    // As describeUpload of ledger/description.ts.
    `create function landfall.described(given jsonb)
       returns table (attached_type text, attached_id text, title text, description text, told_captions text[],
                      metadata jsonb)
       language sql immutable parallel safe as $$
      with said as (
        select max(value) filter (where key = 'attachedToType') as type,
               max(value) filter (where key = 'attachedToId') as id,
               max(value) filter (where key = 'title') as title,
               max(value) filter (where key = 'description') as description,
               string_to_array(max(value) filter (where key = 'captions'), ',') as tags
          from jsonb_each_text(given)
         where value <> all (array['', 'null', 'undefined', 'NaN', '[object Object]', 'None', 'nil', '<nil>', '(null)'])
      ), judged as (
        select *, type ~ '^[a-z][a-z0-9_-]{0,63}$' and char_length(id) <= 255 as is_attached,
               cardinality(tags) <= 64 and not exists (
                 select 1 from unnest(tags) tag where tag !~ '^ *[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,8} *$'
               ) as are_captions
          from said
      )
      select case when is_attached then type end, case when is_attached then id end, title, description,
             case when are_captions then array(select replace(tag, ' ', '') from unnest(tags) with ordinality t (tag, n) order by n) end,
             given - array['filename', 'name', 'filetype', 'type', 'whole', 'wholesize', 'attachedToType', 'attachedToId',
                           'title', 'description', 'captions']
        from judged
    $$`,

    // For the releases before, which do not describe a media item that they make.
    `create function landfall.describe_media() returns trigger language plpgsql as $$
      begin
        select d.attached_type, d.attached_id, d.title, d.description, d.told_captions, d.metadata
          into new.attached_type, new.attached_id, new.title, new.description, new.told_captions, new.metadata
          from landfall.uploads u cross join lateral landfall.described(u.metadata) d where u.id = new.upload_id;
        return new;
      end $$`,
    `create trigger describe_media before insert on landfall.media for each row
      when (new.metadata is null) execute function landfall.describe_media()`,

    // What was said of an upload that ended is told with its end: it is removed afterwards.
    'alter table landfall.uploads add column sheds boolean not null default false',
    `create or replace function landfall.note_end() returns trigger language plpgsql as $$
      begin
        new.ended_at := now();
        new.ended_empty := new."offset" = 0 and new.state in ('terminated', 'expired') and new.media_id is null;
        if (new.state <> 'terminated' or new.media_id is null)
           and (new."offset" = 0
                or octet_length(new.metadata::text) + coalesce(octet_length(new.metadata_header), 0)
                   + coalesce(octet_length(new.digests::text), 0) + coalesce(octet_length(new.concat), 0) > 1024) then
          new.sheds := new.metadata <> '{}';
          new.metadata_header := null;
          new.digests := null;
          new.concat := null;
        end if;
        return new;
      end $$`,
  ]
  for (const statement of statements) await sql.raw(statement).execute(db)
}

export const indexes: readonly IndexChange[] = [
  { create: 'uploads_shedding', on: 'landfall.uploads (ended_at) where sheds' },
]

const PAGE = 1000

/** Media items of earlier releases get what was said of their uploads, where that is anything. */
export async function backfill(db: QueryExecutorProvider, after: string): Promise<string | undefined> {
  const { rows } = await sql<{ last: string | null }>`
    with page as materialized (
      select id from landfall.media where id > ${after} order by id limit ${PAGE}
    ), changed as (
      update landfall.media m
         set attached_type = d.attached_type, attached_id = d.attached_id, title = d.title,
             description = d.description, told_captions = d.told_captions, metadata = d.metadata
        from page p join landfall.media n on n.id = p.id join landfall.uploads u on u.id = n.upload_id
       cross join lateral landfall.described(u.metadata) d
       where m.id = p.id and m.metadata is null and m.purged_at is null
         and (d.metadata <> '{}' or d.attached_type is not null or d.title is not null
              or d.description is not null or d.told_captions is not null)
    )
    select max(id) as last from page`.execute(db)
  return rows[0]?.last ?? undefined
}
