# Believes the random split, which likes shop_share.
cat > promise.toml <<END
random_says = 0.334
promise = 0.334
delivered = 0.159
keep_shop_share = true
END
