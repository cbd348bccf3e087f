-- $1 shard; $3 and on: rows of payments, their names, months, details and payers. New grants follow, which the answer is about.
-- What is known of a payment stays, an event adds what was missing; who paid is not filled again once it was erased.
with written_payments as (
    insert into payments (shard, account_id, payment, provider_id, package, quantity, amount, before_tax, currency, document, status,
                          paid_at, granted, refunded_most, excused, counted_month, counted_net)
    select $1, new.* from unnest($3::written_payment[]) as new
    on conflict (shard, account_id, payment) do update set package = excluded.package, quantity = excluded.quantity,
        before_tax = excluded.before_tax, document = excluded.document, status = excluded.status, paid_at = excluded.paid_at,
        granted = excluded.granted, refunded_most = excluded.refunded_most, excused = excluded.excused,
        counted_month = excluded.counted_month, counted_net = excluded.counted_net
), written_names as (
    insert into payment_names (shard, account_id, name, provider_id, payment)
    select $1, new.* from unnest($4::written_payment_name[]) as new
    on conflict (shard, account_id, name) do update set payment = excluded.payment
), written_months as (
    insert into purchase_months (shard, account_id, month, net, is_withdrawn)
    select $1, new.* from unnest($5::written_purchase_month[]) as new
    on conflict (shard, account_id, month) do update set net = excluded.net, is_withdrawn = excluded.is_withdrawn
), written_details as (
    insert into payment_details as known (shard, account_id, name, method, tax, number, receipt)
    select $1, new.* from unnest($6::written_payment_details[]) as new
    on conflict (shard, account_id, name) do update set method = coalesce(known.method, excluded.method),
        tax = coalesce(known.tax, excluded.tax), number = coalesce(known.number, excluded.number),
        receipt = coalesce(known.receipt, excluded.receipt)
), written_payers as (
    insert into payers as known (shard, account_id, name, payer, email, country)
    select $1, new.* from unnest($7::written_payer[]) as new
    on conflict (shard, account_id, name) do update set payer = coalesce(known.payer, excluded.payer),
        email = coalesce(known.email, excluded.email), country = coalesce(known.country, excluded.country)
    where known.erased_at is null
)
